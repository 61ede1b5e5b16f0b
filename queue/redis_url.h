/* queue/redis_url.h — the URL belongs to the configuration: see there. */
#pragma once
#include "common/config/redis_url.h"
