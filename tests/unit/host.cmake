ntm_test(unit host_test SOURCES host_test.cpp DEPS ntm_host)
