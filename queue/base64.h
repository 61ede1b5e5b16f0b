/* queue/base64.h — lines of base64 as the octets they stand for, which are three quarters of them.
 *
 * Long mail is base64 nearly always, and what it stands for (pictures, archives) cannot be compressed. A
 * compressor finds out no more than that there are 64 different octets, and takes ten times as long.
 *
 * Packed: items, one after another, until nothing is left:
 *   'L', length / 4 (1), count (2, big endian), octets   `count` lines of `length` digits, CR LF behind each
 *   'T', count (2, big endian), octets                   everything else, as it is: text, ends of lines cut
 * off The lines are RFC 4648's alphabet without padding; whatever else they are, is text. */
#pragma once
#include "common/span.h"

#include <stdbool.h>

/* Returns how much it wrote to out, and 0 when raw is better left to a compressor: more than an eighth of it
 * is no base64, or the octets are not like random ones, or they need more than `room`. At most 65,535 octets.
 */
size_t base64_pack(struct span raw, char *out, size_t room);
/* Fills out with exactly `size` octets. false: damaged. */
bool base64_unpack(struct span packed, char *out, size_t size);
