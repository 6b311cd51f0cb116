ntm_test(unit crypto_test SOURCES crypto_test.cpp DEPS ntm_crypto)
