/* tests/unit/common/test_room.c — mirrors common/room.c */
#include "tests/unit/check.h"

#include "common/room.h"

#include <stdlib.h>

static void test_room__grows_up_to_its_bound(void **state)
{
    enum { MOST = 100 };
    void *list = NULL;
    size_t cap = 0;
    (void)state;
    for (size_t n = 0; n < MOST; n++) {
        assert_int_equal(room_for_one(&list, &cap, n, sizeof(size_t), MOST), ERR_OK);
        assert_true(cap > n);
        ((size_t *)list)[n] = n;
    }
    void *before = list;
    size_t cap_before = cap;
    assert_int_equal(room_for_one(&list, &cap, MOST, sizeof(size_t), MOST), ERR_TOOBIG);
    assert_ptr_equal(list, before);
    assert_int_equal(cap, cap_before);
    for (size_t n = 0; n < MOST; n++)
        assert_int_equal(((size_t *)list)[n], n);
    free(list);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_room__grows_up_to_its_bound));
}
