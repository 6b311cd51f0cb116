ntm_test(fault store_kill_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_kill_test.cpp DEPS ntm_store)
