# Engine tests of the director: real engines on memory stores, scripted terminals and relays.
ntm_library(director_test_world SOURCES ${CMAKE_CURRENT_LIST_DIR}/director_world.cpp
            DEPS ntm_director_engine ntm_store ntm_scenario_network)
foreach(part IN ITEMS registration presence direction federation)
  ntm_test(unit director_${part}_test SOURCES director_${part}_test.cpp
           DEPS ntm_director_test_world)
endforeach()
