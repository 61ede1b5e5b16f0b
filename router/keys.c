#include "router/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "# A secret key of Bridgehead. Nobody else may read this file."

static const char *const kind_names[KEY__COUNT] = {"organization", "group", "transport"};

const char *key_kind_name(enum key_kind k)
{
    return (unsigned)k < KEY__COUNT ? kind_names[k] : "?";
}

static enum sign_kind algorithm(enum key_kind kind)
{
    return kind == KEY_TRANSPORT ? SIGN_X25519 : SIGN_ED25519;
}

void key_file_wipe(struct key_file *k)
{
    explicit_bzero(k, sizeof *k);
}

/* --- Hexadecimal ----------------------------------------------------------------------------------- */

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool from_hex(struct span text, uint8_t *out, size_t max, size_t *ret_len)
{
    if (text.len % 2 != 0 || text.len / 2 > max)
        return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int hi = digit_of(text.ptr[2 * i]), lo = digit_of(text.ptr[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi * 16 + lo);
    }
    *ret_len = text.len / 2;
    return true;
}

static void to_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

void key_text(const uint8_t key[SIGN_KEY_LEN], char ret[KEY_TEXT_LEN + 1])
{
    to_hex(key, SIGN_KEY_LEN, ret);
}

bool key_text_parse(struct span text, uint8_t ret[SIGN_KEY_LEN])
{
    size_t n;
    return from_hex(text, ret, SIGN_KEY_LEN, &n) && n == SIGN_KEY_LEN;
}

void key_print(const uint8_t key[SIGN_KEY_LEN], char ret[KEY_PRINT_LEN + 1])
{
    uint8_t digest[SIGN_DIGEST_LEN] = {0};
    char hex[2 * 16 + 1];
    (void)!sign_sha256(span_of((const char *)key, SIGN_KEY_LEN), digest);
    to_hex(digest, 16, hex);
    for (size_t i = 0; i < 8; i++) {
        memcpy(ret + 5 * i, hex + 4 * i, 4);
        ret[5 * i + 4] = i < 7 ? '-' : '\0';
    }
}

/* --- Text ------------------------------------------------------------------------------------------ */

static bool name_ok(struct span s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\0' || strchr(allowed, s.ptr[i]) == NULL)
            return false;
    return s.len > 0 && s.len <= RECORD_NAME_MAX;
}

static bool take_name(struct span value, char out[RECORD_NAME_MAX + 1])
{
    if (!name_ok(value) || out[0] != '\0')
        return false;
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return true;
}

enum { SEEN_KIND = 1, SEEN_SECRET = 2, SEEN_PUBLIC = 4, SEEN_CERTIFICATE = 8 };

static bool take_kind(struct span value, struct key_file *k)
{
    for (unsigned i = 0; i < KEY__COUNT; i++) {
        if (span_eq(value, span_cstr(kind_names[i]))) {
            k->kind = (enum key_kind)i;
            return true;
        }
    }
    return false;
}

static bool take_line(struct span name, struct span value, struct key_file *k, unsigned *seen)
{
    unsigned what = 0;
    bool ok = false;
    if (span_eq(name, SPAN("organization")))
        return take_name(value, k->organization);
    if (span_eq(name, SPAN("group")))
        return take_name(value, k->group);
    if (span_eq(name, SPAN("kind"))) {
        what = SEEN_KIND;
        ok = take_kind(value, k);
    } else if (span_eq(name, SPAN("secret"))) {
        what = SEEN_SECRET;
        ok = key_text_parse(value, k->secret);
    } else if (span_eq(name, SPAN("public"))) {
        what = SEEN_PUBLIC;
        ok = key_text_parse(value, k->public_);
    } else if (span_eq(name, SPAN("certificate"))) {
        what = SEEN_CERTIFICATE;
        ok = from_hex(value, k->cert_bytes, sizeof k->cert_bytes, &k->cert_len) && k->cert_len > 0;
    }
    ok = ok && (*seen & what) == 0;
    *seen |= what;
    return ok;
}

static bool cert_fits(const struct key_file *k)
{
    struct ls_cert c;
    return cert_parse(span_of((const char *)k->cert_bytes, k->cert_len), &c) == ERR_OK &&
           span_eq(c.group, span_cstr(k->group)) && span_eq(c.organization, span_cstr(k->organization)) &&
           memcmp(c.key, k->public_, sizeof c.key) == 0;
}

static enum err check_whole(const struct key_file *k, unsigned seen, struct errctx *ec)
{
    uint8_t derived[SIGN_KEY_LEN];
    if ((seen & (SEEN_KIND | SEEN_SECRET | SEEN_PUBLIC)) != (SEEN_KIND | SEEN_SECRET | SEEN_PUBLIC))
        return err_set(ec, ERR_PARSE, "it lacks kind, secret or public; make it with `bridgehead keys`");
    if ((k->kind == KEY_TRANSPORT) != (k->organization[0] == '\0') ||
        (k->kind == KEY_GROUP) != (k->group[0] != '\0') || (k->kind != KEY_GROUP && k->cert_len != 0))
        return err_set(ec, ERR_PARSE, "its names do not fit its kind, %s", key_kind_name(k->kind));
    bool ok = sign_public(algorithm(k->kind), k->secret, derived) &&
              memcmp(derived, k->public_, sizeof derived) == 0;
    explicit_bzero(derived, sizeof derived);
    if (!ok)
        return err_set(ec, ERR_PARSE, "its secret and its public key do not belong together");
    if (k->cert_len > 0 && !cert_fits(k))
        return err_set(ec, ERR_PARSE, "its certificate is for another key or group");
    return ERR_OK;
}

enum err key_file_parse(struct span text, struct key_file *ret, struct errctx *ec)
{
    struct key_file k = {.kind = KEY_ORGANIZATION};
    struct span line, name, value;
    unsigned seen = 0, number = 0;
    enum err e = ERR_OK;
    while (text.len > 0 && e == ERR_OK) {
        (void)span_cut(text, '\n', &line, &text);
        number++;
        line = span_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        (void)span_cut(line, ':', &name, &value);
        if (!take_line(span_trim(name), span_trim(value), &k, &seen))
            e = err_set(ec, ERR_PARSE, "line %u is not part of a key file", number);
    }
    if (e == ERR_OK)
        e = check_whole(&k, seen, ec);
    if (e == ERR_OK)
        *ret = k;
    key_file_wipe(&k);
    return e;
}

enum err key_file_emit(const struct key_file *k, struct buf *out)
{
    char hex[2 * CERT_MAX + 1];
    enum err e = buf_addf(out, FIRST_LINE "\nkind: %s\n", key_kind_name(k->kind));
    if (e == ERR_OK && k->organization[0] != '\0')
        e = buf_addf(out, "organization: %s\n", k->organization);
    if (e == ERR_OK && k->group[0] != '\0')
        e = buf_addf(out, "group: %s\n", k->group);
    to_hex(k->public_, SIGN_KEY_LEN, hex);
    if (e == ERR_OK)
        e = buf_addf(out, "public: %s\n", hex);
    to_hex(k->secret, SIGN_KEY_LEN, hex);
    if (e == ERR_OK)
        e = buf_addf(out, "secret: %s\n", hex);
    explicit_bzero(hex, sizeof hex);
    if (e == ERR_OK && k->cert_len > 0) {
        to_hex(k->cert_bytes, k->cert_len, hex);
        e = buf_addf(out, "certificate: %s\n", hex);
    }
    return e;
}

/* --- Files ----------------------------------------------------------------------------------------- */

/* Ours alone; or a secret that the environment mounts: root's, read through a group of ours. */
static bool mode_ok(const struct stat *st)
{
    if ((st->st_mode & 077) == 0)
        return true;
    return st->st_uid == 0 && (st->st_mode & 037) == 0 && geteuid() != 0;
}

static enum err read_all(int fd, char *bytes, size_t *ret_len)
{
    size_t n = 0;
    while (n < KEY_FILE_MAX) {
        ssize_t got = read(fd, bytes + n, KEY_FILE_MAX - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret_len = n;
    return ERR_OK;
}

enum err key_file_read(const char *path, struct key_file *ret, struct errctx *ec)
{
    char bytes[KEY_FILE_MAX];
    struct stat st;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(ec, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot read key file '%s': %s%s", path,
                       strerror(errno), errno == ENOENT ? "; make it with `bridgehead keys`" : "");
    enum err e = ERR_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        e = err_set(ec, ERR_IO, "key file '%s' is not a file", path);
    else if (!mode_ok(&st))
        e = err_set(ec, ERR_DENIED, "key file '%s' has mode %04o: others can read it; chmod 600 it", path,
                    (unsigned)(st.st_mode & 07777));
    else if (read_all(fd, bytes, &n) != ERR_OK)
        e = err_set(ec, ERR_IO, "cannot read key file '%s': %s", path, strerror(errno));
    (void)close(fd);
    if (e == ERR_OK && (e = key_file_parse(span_of(bytes, n), ret, ec)) != ERR_OK)
        (void)err_wrap(ec, e, "key file '%s'", path);
    explicit_bzero(bytes, sizeof bytes);
    return e;
}

static enum err write_all(int fd, struct span s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        s = span_from(s, (size_t)n);
    }
    return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

/* Beside the target, so that the last step is atomic. */
static enum err write_beside(const char *path, struct span text, bool replace, struct errctx *ec)
{
    struct buf temp;
    buf_init(&temp, 8192);
    if (buf_addf(&temp, "%s.%ld.new", path, (long)getpid()) != ERR_OK)
        return err_set(ec, ERR_TOOBIG, "the path is too long");
    int fd = open(buf_cstr(&temp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum err e = fd < 0 ? ERR_IO : write_all(fd, text);
    if (fd >= 0)
        (void)close(fd);
    if (e == ERR_OK && replace && rename(buf_cstr(&temp), path) != 0)
        e = ERR_IO;
    if (e == ERR_OK && !replace && link(buf_cstr(&temp), path) != 0)
        e = errno == EEXIST ? ERR_EXISTS : ERR_IO;
    if (e == ERR_EXISTS)
        (void)err_set(ec, e, "'%s' exists; a key is never overwritten: name another file", path);
    else if (e != ERR_OK)
        (void)err_set(ec, e, "cannot write '%s': %s", path, strerror(errno));
    if (fd >= 0 && (e != ERR_OK || !replace))
        (void)unlink(buf_cstr(&temp));
    buf_done(&temp);
    return e;
}

enum err key_file_write(const char *path, const struct key_file *k, bool replace, struct errctx *ec)
{
    struct buf text;
    buf_init(&text, KEY_FILE_MAX);
    enum err e = key_file_emit(k, &text);
    if (e == ERR_OK)
        e = write_beside(path, buf_span(&text), replace, ec);
    else
        (void)err_set(ec, e, "%s", err_text(e));
    if (text.ptr != NULL)
        explicit_bzero(text.ptr, text.len);
    buf_done(&text);
    return e;
}

/* --- Making ---------------------------------------------------------------------------------------- */

enum err key_make(enum key_kind kind, struct span organization, struct span group, struct key_file *ret,
                  struct errctx *ec)
{
    struct key_file k = {.kind = kind};
    if (kind != KEY_TRANSPORT && !take_name(organization, k.organization))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a name of an organization",
                       SPAN_ARG(span_first(organization, 80)));
    if (kind == KEY_GROUP && !take_name(group, k.group))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a name of a routing group",
                       SPAN_ARG(span_first(group, 80)));
    if (!sign_keypair(algorithm(kind), k.secret, k.public_))
        return err_set(ec, ERR_IO, "the system gave no random numbers");
    *ret = k;
    key_file_wipe(&k);
    return ERR_OK;
}

static void hash_(void *self, struct span bytes, uint8_t ret[LS_DIGEST_LEN])
{
    (void)self;
    if (!sign_sha256(bytes, ret)) /* no memory: a digest that nothing has */
        memset(ret, 0, LS_DIGEST_LEN);
}

static bool verify_(void *self, const uint8_t key[LS_KEY_LEN], struct span bytes,
                    const uint8_t sig[LS_SIG_LEN])
{
    (void)self;
    return sign_verify(key, bytes, sig);
}

static bool sign_(void *self, struct span bytes, uint8_t ret_sig[LS_SIG_LEN])
{
    return self != NULL && sign_bytes(self, bytes, ret_sig);
}

void key_crypto(const struct key_file *group, struct ls_crypto *ret)
{
    *ret = (struct ls_crypto){.hash = hash_,
                              .verify = verify_,
                              .sign = sign_,
                              .self = group == NULL ? NULL : (void *)(uintptr_t)group->secret};
}

enum err key_certificate(const struct key_file *org, struct span group, const uint8_t key[SIGN_KEY_LEN],
                         uint64_t serial, struct buf *out, struct errctx *ec)
{
    struct ls_crypto crypto;
    if (org->kind != KEY_ORGANIZATION)
        return err_set(ec, ERR_PARSE, "that is the key of a %s; only the organization's certifies",
                       key_kind_name(org->kind));
    if (!name_ok(group))
        return err_set(ec, ERR_PARSE, "'" SPAN_FMT "' is not a name of a routing group",
                       SPAN_ARG(span_first(group, 80)));
    key_crypto(org, &crypto);
    enum err e = cert_seal(span_cstr(org->organization), group, key, serial, &crypto, out);
    return e == ERR_OK ? e : err_set(ec, e, "the certificate could not be signed: %s", err_text(e));
}

uint64_t key_serial(const struct key_file *k)
{
    struct ls_cert c;
    return k->cert_len > 0 && cert_parse(span_of((const char *)k->cert_bytes, k->cert_len), &c) == ERR_OK
               ? c.serial
               : 0;
}

enum err key_certify(struct key_file *k, const struct key_file *org, uint64_t serial, struct errctx *ec)
{
    struct buf cert;
    if (k->kind != KEY_GROUP || strcmp(k->organization, org->organization) != 0)
        return err_set(ec, ERR_PARSE, "only a group key of organization '%s' can be certified with that key",
                       org->organization);
    if (serial <= key_serial(k))
        return err_set(ec, ERR_PARSE, "the serial must be above %llu, that of the certificate it has",
                       (unsigned long long)key_serial(k));
    buf_init(&cert, CERT_MAX);
    enum err e = key_certificate(org, span_cstr(k->group), k->public_, serial, &cert, ec);
    if (e == ERR_OK) {
        memcpy(k->cert_bytes, cert.ptr, cert.len);
        k->cert_len = cert.len;
    }
    buf_done(&cert);
    return e;
}

enum err key_check_certificate(const struct key_file *k, struct span bytes,
                               const uint8_t org_key[SIGN_KEY_LEN], struct errctx *ec)
{
    struct key_file with = *k;
    struct ls_crypto crypto;
    enum err e = bytes.len == 0 || bytes.len > CERT_MAX ? ERR_PARSE : ERR_OK;
    if (e == ERR_OK) {
        memcpy(with.cert_bytes, bytes.ptr, bytes.len);
        with.cert_len = bytes.len;
        e = cert_fits(&with) ? ERR_OK : ERR_PARSE;
    }
    key_file_wipe(&with);
    if (e != ERR_OK)
        return err_set(ec, e, "the certificate is for another key, group or organization");
    key_crypto(NULL, &crypto);
    e = cert_verify(bytes, org_key, &crypto);
    return e == ERR_OK ? e : err_set(ec, e, "the certificate was not signed with the organization's key");
}
