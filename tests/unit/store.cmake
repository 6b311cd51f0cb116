foreach(test IN ITEMS sqlite open status memory)
  ntm_test(unit store_${test}_test
           SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_${test}_test.cpp DEPS ntm_store)
endforeach()
ntm_test(unit store_conformance_test
         SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_conformance_test.cpp
                 ${CMAKE_CURRENT_LIST_DIR}/store_conformance_feed_test.cpp
         DEPS ntm_store)
