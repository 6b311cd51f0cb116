ntm_program(store_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_bench.cpp DEPS ntm_store)
