ntm_test(scenario network_test SOURCES network_test.cpp DEPS ntm_scenario_world)
