# Cases and golden file are also read by tests/unit and tests/fuzz, so they are a library.
find_package(GTest REQUIRED)
ntm_library(wire_cases SOURCES any_datagram.cpp golden_file.cpp wire_cases.cpp
            wire_cases_control.cpp DEPS ntm_wire GTest::gtest)
target_compile_definitions(ntm_wire_cases PRIVATE NTM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
ntm_test(vectors wire_vectors_test SOURCES wire_vectors_test.cpp DEPS ntm_wire_cases ntm_crypto)
find_program(NTM_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NTM_SYSTEM_PYTHON)
  add_test(NAME vectors.reference_wire
           COMMAND ${NTM_SYSTEM_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/reference_wire.py
                   --check ${CMAKE_CURRENT_SOURCE_DIR}/golden/wire.json)
  set_tests_properties(vectors.reference_wire PROPERTIES LABELS vectors)
endif()
