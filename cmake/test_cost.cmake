# How tests are placed beside each other. What starts servers waits most of the time, so tests/run has ctest run two tests a
# processor; one that works all the time takes the room of two (PROCESSORS). The costliest (COST, seconds) begin, so that nothing
# is left to be waited for alone at the end; what is missing here takes less than 8 s.
set(test_seconds
    chaos/caps/many_domains 32 chaos/caps/one_domain 30 chaos/kill/cut_connections 48 chaos/kill/sentinel_failover 35
    chaos/kill/freeze_workers 25 chaos/kill/kill_redis 25 chaos/kill/everything 25 chaos/kill/all_in_one 25
    conformance/faults/others 85 conformance/faults/cut 79 conformance/failover 78 conformance/node_memory 77
    conformance/outcomes 75 conformance/refusals 33
    conformance/lua/test_values 24 conformance/redis 19 conformance/admin 14 conformance/lua/test_cluster 12
    integration/failures/expiry 61 integration/exchangers/name_server_fails 26 integration/router/a_neighbour_that_sleeps 20
    integration/bad_input/the_clocks_of_a_router_jump 18 integration/refusals/elsewhere 18 integration/topology/thirty_routers 17
    integration/routing_cli/without_a_router 16 integration/failures/postfix_sink_refuses 14
    integration/router/a_purged_ghost_stays_away 14 integration/routing_cli/purge 14
    integration/redis/live_never_depends_on_redis 13 integration/groups/everything_arrives 13
    integration/router/a_large_table_is_checked_before_the_take_over 12 integration/operations/queue_freeze_messages 12
    integration/failures/hang_up_everywhere 11 integration/operations/queue_metrics 11
    integration/configuration/example_with_tls 11 integration/tls/certificate_replaced 11
    integration/operations/a_redis_that_is_not_there 11 integration/refusals/unknown 11
    integration/failures/delay_notice_over_restarts 10 integration/refusals/for_good 10
    integration/operations/shutdown_beside_a_server_that_hangs 10 integration/routing/only_source_bridgeheads_send 9
    integration/routing/routes_after_a_failover 9 integration/routing_cli/route_table 9
    integration/routing/rerouting_moves_nothing 9 integration/redis/redis_stops_and_comes_back 8
    integration/redis/fsck_of_a_live_store 8 integration/router/cut_connections 8
    script/session/max_recipients_default 8
    unit/common/io/test_dns 21 unit/worker/test_smtp_end 20 unit/worker/test_worker 19 unit/worker/test_smtp_lane 12)
set(test_works
    ^conformance/node_memory$ ^conformance/lua/ ^integration/topology/ ^integration/groups/ ^integration/corpus/fifty_megabytes$
    ^integration/redis/fsck_of_a_live_store$ ^integration/router/a_large_table)

# test_cost(TEST): to be called where the test is added.
function(test_cost test)
    list(FIND test_seconds ${test} at)
    if(at GREATER_EQUAL 0)
        math(EXPR at "${at} + 1")
        list(GET test_seconds ${at} seconds)
        set_tests_properties(${test} PROPERTIES COST ${seconds})
    endif()
    foreach(pattern ${test_works})
        if(test MATCHES "${pattern}")
            set_tests_properties(${test} PROPERTIES PROCESSORS 2)
        endif()
    endforeach()
endfunction()
