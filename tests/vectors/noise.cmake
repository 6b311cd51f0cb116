ntm_test(vectors noise_vectors_test SOURCES noise_vectors_test.cpp DEPS ntm_crypto)
ntm_test(vectors primitives_vectors_test SOURCES primitives_vectors_test.cpp DEPS ntm_crypto)
