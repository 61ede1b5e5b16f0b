/* common/io/tls.h — TLS contexts for both ends (OpenSSL 3). Contexts are immutable and counted:
 * a reload makes a new one, running sessions keep theirs. Threads: ref/unref from any thread. */
#pragma once
#include "common/err.h"
#include "common/span.h"

struct tls_context;
enum tls_min { TLS_MIN_12, TLS_MIN_13 };

enum err tls_server_new(const char *certificate_path, const char *key_path, enum tls_min min,
                        struct tls_context **ret, struct errctx *ec) MUST_USE;
/* ca_path "" : the system's; verify false: encryption without a check of the name. */
enum err tls_client_new(const char *ca_path, bool verify, struct tls_context **ret,
                        struct errctx *ec) MUST_USE;
struct tls_context *tls_ref(struct tls_context *t);
void tls_unref(struct tls_context *t); /* NULL is a no-op */
