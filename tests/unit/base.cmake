ntm_test(unit base_test SOURCES base_test.cpp DEPS ntm_base)
