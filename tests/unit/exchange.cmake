find_package(rapidcheck REQUIRED)
ntm_test(unit exchange_test SOURCES exchange_test.cpp DEPS ntm_exchange)
ntm_test(unit exchange_hostile_test SOURCES exchange_hostile_test.cpp DEPS ntm_exchange)
ntm_test(unit replay_test SOURCES replay_test.cpp DEPS ntm_kernel_core rapidcheck)
