ntm_test(vectors keys_vectors_test SOURCES keys_vectors_test.cpp
         DEPS ntm_wire_cases ntm_crypto ntm_exchange)
find_program(NTM_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NTM_SYSTEM_PYTHON)
  add_test(NAME vectors.reference_keys
           COMMAND ${NTM_SYSTEM_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/reference_keys.py
                   --check ${CMAKE_CURRENT_SOURCE_DIR}/golden/keys.json)
  set_tests_properties(vectors.reference_keys PROPERTIES LABELS vectors)
endif()
