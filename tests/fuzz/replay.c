/* Runs a fuzz target over a directory of inputs, and over seeded mutations of them, without libFuzzer. */
#include "common/rng.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, MUTATIONS = 300 };

static void mutate(struct rng *rng, uint8_t *data, size_t *len)
{
    for (uint64_t n = 1 + rng_below(rng, 4); n > 0; n--) {
        uint64_t what = rng_below(rng, 4);
        size_t at = (size_t)rng_below(rng, *len + 1);
        if (what == 0 && *len > 0)
            *len = at;
        else if (what == 1 && at < *len)
            data[at] = (uint8_t)rng_next(rng);
        else if (what == 2 && at < *len)
            data[at] = (uint8_t)(data[at] ^ 1u << rng_below(rng, 8));
        else if (*len < INPUT_MAX) {
            memmove(data + at + 1, data + at, *len - at);
            data[at] = (uint8_t)rng_next(rng);
            (*len)++;
        }
    }
}

/* A copy of the exact size: the sanitizer sees the first byte read past it. */
static void run_once(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL)
        abort();
    memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_file(const char *path, struct rng *rng)
{
    static uint8_t original[INPUT_MAX], data[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    size_t size = fread(original, 1, sizeof(original), f);
    (void)fclose(f);
    run_once(original, size);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t len = size;
        memcpy(data, original, size);
        mutate(rng, data, &len);
        run_once(data, len);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    struct dirent **names;
    int n = scandir(argv[1], &names, NULL, alphasort);
    if (n < 0) {
        perror(argv[1]);
        return 2;
    }
    struct rng rng;
    rng_seed(&rng, 1);
    int files = 0;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        if (names[i]->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
            run_file(path, &rng);
            files++;
        }
        free(names[i]);
    }
    free(names);
    (void)printf("%d inputs, %d mutations each\n", files, MUTATIONS);
    return files > 0 ? 0 : 2;
}
