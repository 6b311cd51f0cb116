ntm_test(unit datapath_offload_test SOURCES datapath_offload_test.cpp DEPS ntm_datapath)
ntm_test(unit datapath_queue_test SOURCES datapath_queue_test.cpp DEPS ntm_datapath)
ntm_test(unit datapath_fake_test SOURCES datapath_fake_test.cpp DEPS ntm_datapath_fake)
ntm_test(unit datapath_relay_test SOURCES datapath_relay_test.cpp DEPS ntm_datapath_fake)
ntm_test(unit datapath_conformance_test
         SOURCES datapath_conformance_test.cpp datapath_world.cpp
         DEPS ntm_datapath_fake ntm_datapath_tun)
