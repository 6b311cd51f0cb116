ntm_test(unit datapath_fake_test SOURCES datapath_fake_test.cpp DEPS ntm_datapath_fake)
