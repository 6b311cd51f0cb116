# The stub resolver: messages against ldns, rules under virtual time.
pkg_check_modules(LDNS REQUIRED IMPORTED_TARGET ldns)
ntm_test(unit dns_message_test SOURCES dns_message_test.cpp DEPS ntm_terminal_dns PkgConfig::LDNS)
ntm_test(unit dns_stub_test SOURCES dns_stub_test.cpp DEPS ntm_terminal_dns)
ntm_test(unit dns_loop_test SOURCES dns_loop_test.cpp DEPS ntm_terminal_stub)
