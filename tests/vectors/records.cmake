ntm_test(vectors records_vectors_test SOURCES records_vectors_test.cpp DEPS ntm_wire)
# The golden file is what the independent encoder writes, and nothing else.
find_program(NTM_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NTM_SYSTEM_PYTHON)
  add_test(NAME vectors.records_encoder
           COMMAND ${NTM_SYSTEM_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/records_encoder.py
                   --check ${CMAKE_CURRENT_SOURCE_DIR}/golden/records.txt)
  set_tests_properties(vectors.records_encoder PROPERTIES LABELS vectors)
endif()
