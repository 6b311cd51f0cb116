# How every library, program and test of the project is declared, so that flags, include
# paths and the mapping folder -> target are written once.
#
#   ntm_library(wire SOURCES a.cpp b.cpp DEPS ntm_base)       -> target ntm_wire
#   ntm_program(ntm-relay SOURCES main.cpp DEPS ntm_relay)     -> build/bin/ntm-relay
#   ntm_test(unit wire_test SOURCES x_test.cpp DEPS ntm_wire)  -> build/tests/unit/wire_test
#
# ntm_test registers with ctest under the label of its suite; scripts/test runs by label.

option(NTM_CCACHE "Compile through ccache when it is installed" OFF)
set(NTM_SANITIZE "" CACHE STRING "Sanitizers: empty, address-undefined, or thread")

if(NTM_CCACHE)
  find_program(NTM_CCACHE_PROGRAM ccache)
  if(NTM_CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${NTM_CCACHE_PROGRAM})
    set(CMAKE_C_COMPILER_LAUNCHER ${NTM_CCACHE_PROGRAM})
  endif()
endif()

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

add_library(ntm_flags INTERFACE)
target_include_directories(ntm_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(ntm_flags INTERFACE -Wall -Wextra -Wshadow
                                           "$<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor;-Wno-missing-field-initializers>")
if(NTM_SANITIZE STREQUAL "address-undefined")
  target_compile_options(ntm_flags INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ntm_flags INTERFACE -fsanitize=address,undefined)
elseif(NTM_SANITIZE STREQUAL "thread")
  target_compile_options(ntm_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(ntm_flags INTERFACE -fsanitize=thread)
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

function(ntm_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(ntm_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(ntm_${name} PUBLIC ntm_flags ${ARG_DEPS})
  else()
    add_library(ntm_${name} INTERFACE)
    target_link_libraries(ntm_${name} INTERFACE ntm_flags ${ARG_DEPS})
  endif()
endfunction()

function(ntm_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ntm_flags ${ARG_DEPS} Threads::Threads)
endfunction()

function(ntm_test suite name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ntm_flags ${ARG_DEPS} GTest::gtest GTest::gmock
                                        GTest::gtest_main Threads::Threads)
  set_target_properties(${name} PROPERTIES
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${suite})
  target_compile_definitions(${name} PRIVATE NTM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${suite}.${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${suite}.${name} PROPERTIES LABELS ${suite} TIMEOUT ${ARG_TIMEOUT})
  if(TARGET ntm_tests_${suite})
  else()
    add_custom_target(ntm_tests_${suite})
  endif()
  add_dependencies(ntm_tests_${suite} ${name})
endfunction()
