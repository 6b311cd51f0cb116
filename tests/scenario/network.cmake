ntm_test(scenario network_test SOURCES network_test.cpp DEPS ntm_scenario_network)
ntm_test(scenario scenario_test SOURCES scenario_test.cpp DEPS ntm_scenario_world)
