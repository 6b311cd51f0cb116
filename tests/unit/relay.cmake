ntm_test(unit relay_entry_test SOURCES relay_entry_test.cpp DEPS ntm_relay_engine)
