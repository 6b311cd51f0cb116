ntm_test(unit exchange_test SOURCES exchange_test.cpp DEPS ntm_exchange)
ntm_test(unit replay_test SOURCES replay_test.cpp DEPS ntm_kernel_core)
