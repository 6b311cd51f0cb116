# Finds the source of the installed pdns-server, whose headers the module is compiled against:
# Debian ships no backend headers, and a module built against another release's would call wrong
# virtual functions without any error.
#
# Looks at NTM_PDNS_SOURCE_DIR (an unpacked source tree of the right release), then at the copy
# that all presets share in build/pdns-src, then fetches it there with `apt-get source`. Sets
# PDNS_SOURCE_FOUND, PDNS_SOURCE_VERSION (such as 4.7.3) and PDNS_SOURCE_INCLUDES. Without a source
# the rest of the project still builds: the module is left out and scripts/test fails.
set(NTM_PDNS_SOURCE_DIR "" CACHE PATH "Unpacked source of the installed pdns-server (optional)")
set(PDNS_SOURCE_FOUND FALSE)

function(ntm_pdns_missing text)
  message(WARNING "The PowerDNS module will NOT be built: ${text}")
endfunction()

# Headers and nothing else prove that a folder is the source of a release.
function(ntm_pdns_tree directory version result)
  set(${result} FALSE PARENT_SCOPE)
  if(EXISTS ${directory}/pdns/dnsbackend.hh AND EXISTS ${directory}/configure.ac)
    file(STRINGS ${directory}/configure.ac init REGEX "^AC_INIT" LIMIT_COUNT 1)
    string(REPLACE "." "\\." pattern "${version}")
    if(init MATCHES "\\[${pattern}\\]")
      set(${result} TRUE PARENT_SCOPE)
    endif()
  endif()
endfunction()

execute_process(COMMAND dpkg-query -W -f=\${source:Version} pdns-server
                OUTPUT_VARIABLE pdns_package RESULT_VARIABLE status ERROR_QUIET)
if(NOT status EQUAL 0 OR pdns_package STREQUAL "")
  ntm_pdns_missing("pdns-server is not installed. Run scripts/setup.")
  return()
endif()
string(REGEX REPLACE "^[0-9]+:" "" version "${pdns_package}")
string(REGEX REPLACE "[-+~].*$" "" version "${version}")

set(cache ${CMAKE_SOURCE_DIR}/build/pdns-src)
set(tree ${cache}/pdns-${version})
if(NTM_PDNS_SOURCE_DIR)
  set(tree ${NTM_PDNS_SOURCE_DIR})
endif()
ntm_pdns_tree(${tree} ${version} found)
if(NTM_PDNS_SOURCE_DIR AND NOT found)
  ntm_pdns_missing("NTM_PDNS_SOURCE_DIR=${tree} is not the source of PowerDNS ${version}.")
  return()
endif()
if(NOT found)
  message(STATUS "pdns module: fetching the source of pdns ${pdns_package}")
  file(MAKE_DIRECTORY ${cache})
  # Two presets may be configured at the same moment: the second finds what the first fetched.
  file(LOCK ${cache} DIRECTORY GUARD FILE TIMEOUT 300)
  ntm_pdns_tree(${tree} ${version} found)
  if(NOT found)
    # What an interrupted run left behind would make dpkg-source refuse.
    file(REMOVE_RECURSE ${tree})
    execute_process(COMMAND apt-get source -qq pdns=${pdns_package} WORKING_DIRECTORY ${cache}
                    OUTPUT_VARIABLE output ERROR_VARIABLE output)
    ntm_pdns_tree(${tree} ${version} found)
  endif()
  file(LOCK ${cache} DIRECTORY RELEASE)
  if(NOT found)
    string(REGEX REPLACE "\n+" "; " output "${output}")
    ntm_pdns_missing("`apt-get source pdns=${pdns_package}` failed (${output}). Source packages \
must be enabled (a deb-src entry) and dpkg-dev installed: run scripts/setup, or unpack the source \
yourself and configure with -DNTM_PDNS_SOURCE_DIR=…")
    return()
  endif()
endif()

find_path(NTM_LUA_INCLUDE lua.hpp PATH_SUFFIXES luajit-2.1)
find_path(NTM_BOOST_INCLUDE boost/container/string.hpp)
if(NOT NTM_LUA_INCLUDE OR NOT NTM_BOOST_INCLUDE)
  ntm_pdns_missing("libluajit-5.1-dev or libboost1.74-dev is missing. Run scripts/setup.")
  return()
endif()
set(PDNS_SOURCE_FOUND TRUE)
set(PDNS_SOURCE_VERSION ${version})
set(PDNS_SOURCE_INCLUDES ${tree} ${tree}/pdns ${tree}/ext/yahttp ${NTM_LUA_INCLUDE})
message(STATUS "pdns module: against PowerDNS ${version} in ${tree}")
