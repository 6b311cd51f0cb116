# Engine tests of the terminal: real engines over fake datapaths, with a scripted DC.
ntm_library(terminal_test_world SOURCES ${CMAKE_CURRENT_LIST_DIR}/terminal_world.cpp
            DEPS ntm_terminal_engine ntm_relay_engine ntm_datapath_fake ntm_scenario_world)
ntm_test(unit terminal_setup_test SOURCES terminal_setup_test.cpp DEPS ntm_terminal_test_world)
ntm_test(unit terminal_handover_test SOURCES terminal_handover_test.cpp
         DEPS ntm_terminal_test_world)
ntm_test(unit terminal_acceptance_test SOURCES terminal_acceptance_test.cpp
         DEPS ntm_terminal_test_world)
ntm_test(unit terminal_loss_test SOURCES terminal_loss_test.cpp DEPS ntm_terminal_test_world)
ntm_test(unit terminal_files_test SOURCES terminal_files_test.cpp DEPS ntm_terminal_identity)
ntm_test(unit terminal_restart_test SOURCES terminal_restart_test.cpp DEPS ntm_terminal_test_world)
