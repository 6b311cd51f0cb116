ntm_test(unit wire_test SOURCES wire_test.cpp wire_control_test.cpp wire_size_test.cpp
         DEPS ntm_wire_cases ntm_wire)
