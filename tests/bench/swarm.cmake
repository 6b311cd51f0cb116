find_package(CLI11 REQUIRED)
ntm_program(ntm-swarm SOURCES ${CMAKE_CURRENT_LIST_DIR}/swarm.cpp
            DEPS ntm_terminal_engine ntm_crypto ntm_host CLI11::CLI11)
