ntm_program(tunnel_bench SOURCES tunnel_bench.cpp DEPS ntm_datapath_tun)
