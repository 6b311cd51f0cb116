ntm_test(fault store_kill_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_kill_test.cpp DEPS ntm_store)
ntm_test(fault store_power_test
         SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_power_test.cpp
                 ${CMAKE_CURRENT_LIST_DIR}/power_cut.cpp
         DEPS ntm_store)
