/* common/banned.h — force-included into our own targets, never into dependencies.
 *
 * The macro names the replacement, so the compiler's error is the advice. What macros cannot see
 * (time(), exit() below main, ...) is refused by tests/lint/check_bans.py. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* clang-format off */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef strtok_r
#undef atoi
#undef atol
#define strcpy(...)   banned_use_buf_add
#define strcat(...)   banned_use_buf_add
#define strncpy(...)  banned_use_buf_add
#define strncat(...)  banned_use_buf_add
#define sprintf(...)  banned_use_buf_addf
#define vsprintf(...) banned_use_buf_addf
#define strtok(...)   banned_use_span_cut
#define strtok_r(...) banned_use_span_cut
#define atoi(...)     banned_use_span_to_u64
#define atol(...)     banned_use_span_to_u64
#define rand()        banned_use_rng
#define srand(...)    banned_use_rng
#define gmtime(...)   banned_use_clock
#define localtime(...) banned_use_clock
#define ctime(...)    banned_use_clock
/* clang-format on */
