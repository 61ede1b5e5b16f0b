/* common/crc32c.h — CRC-32C (Castagnoli, RFC 3720 appendix B.4): notices damage, not malice. */
#pragma once
#include "common/span.h"

/* crc 0 begins; the result of one call goes into the next. */
uint32_t crc32c(uint32_t crc, struct span s);
