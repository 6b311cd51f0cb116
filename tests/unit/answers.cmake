ntm_test(unit answers_test SOURCES answers_test.cpp answers_derived_test.cpp
                                   answers_configuration_test.cpp
         DEPS ntm_pdns_backend)
