/* cli/embedded_redis.h — the redis-server child of `bridgehead run`: its files and its command line.
 *
 * Everything lives in <data_dir>/redis: redis.conf (written anew at each start), redis.sock (the only
 * way in; the directory is 0700), the append-only file, redis.log. The append-only file is never touched. */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"
#include "common/err.h"

/* <data_dir>/redis/redis.sock. ERR_TOOBIG: longer than the kernel allows for a unix socket. */
enum err embedded_redis_socket(const struct conf_root *conf, struct buf *ret_path,
                               struct errctx *ec) MUST_USE;
/* Makes the directories and writes redis.conf; its path. */
enum err embedded_redis_prepare(const struct conf_root *conf, struct buf *ret_conf_path,
                                struct errctx *ec) MUST_USE;
/* The text of redis.conf. */
enum err embedded_redis_conf(const struct conf_root *conf, struct buf *out, struct errctx *ec) MUST_USE;
/* Makes a directory and those above it. */
enum err make_directories(const char *path, unsigned mode, struct errctx *ec) MUST_USE;
