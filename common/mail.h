/* common/mail.h — properties of a message that more than one part of the program speaks of. */
#pragma once

enum priority { PRIORITY_NORMAL, PRIORITY_LOW, PRIORITY_HIGH };
