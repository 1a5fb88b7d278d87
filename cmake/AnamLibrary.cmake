# SPDX-License-Identifier: Apache-2.0
# anam_library: one static library per folder, with a declared layer. A folder may depend only on folders of a
# strictly lower layer, so the dependency graph cannot grow a cycle; configure fails otherwise.
#
#   anam_library(NAME shard LAYER 3 SOURCES manifest.cc ... DEPS base io [PRIVATE_DEPS PkgConfig::zstd] [TORCH])
#
# The target is called anam_<NAME>, with the alias anam::<NAME>. DEPS are names of our folders; third-party targets
# go into PUBLIC_DEPS or PRIVATE_DEPS. TORCH marks a folder that includes LibTorch.

# Tests are compiled once and run once: less optimisation halves their build.
set(ANAM_TEST_OPTIONS $<$<CONFIG:Release>:-O1>)

if(ANAMNESIS_SANITIZE STREQUAL "address")
  set(ANAM_SANITIZERS -fsanitize=address,undefined)
elseif(ANAMNESIS_SANITIZE STREQUAL "thread")
  set(ANAM_SANITIZERS -fsanitize=thread)
elseif(ANAMNESIS_SANITIZE)
  message(FATAL_ERROR "ANAMNESIS_SANITIZE=${ANAMNESIS_SANITIZE}: expected address, thread or nothing")
endif()

# The tests that run under ThreadSanitizer, with what they need.
add_custom_target(threaded_tests)

option(ANAMNESIS_UNITY "Compile several sources of a folder as one" OFF)
# Several sources of a folder become one translation unit: a build from nothing takes half the time, a small change
# more. Names in unnamed namespaces therefore differ within a folder.
function(anam_unite target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${ANAMNESIS_UNITY} UNITY_BUILD_BATCH_SIZE 6)
  if(ANAMNESIS_UNITY)  # GCC takes an included file for a header, where an unnamed namespace would be a mistake
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

function(anam_target_options target)
  target_include_directories(${target} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                           -Wconversion -Wno-sign-conversion)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 sees overruns in inlined std::string that are not there (its bugs 105329, 105651).
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
  if(ANAMNESIS_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(ANAM_SANITIZERS)
    target_compile_options(${target} PUBLIC ${ANAM_SANITIZERS} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC ${ANAM_SANITIZERS})
  endif()
  if(ANAMNESIS_PRECOMPILE)
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
  target_link_options(${target} PUBLIC -fuse-ld=mold)
endfunction()

function(anam_link target layer)
  foreach(dep ${ARGN})
    get_target_property(dep_layer anam_${dep} ANAM_LAYER)
    if(NOT dep_layer LESS layer)
      message(FATAL_ERROR "${target} (layer ${layer}) must not depend on anam_${dep} (layer ${dep_layer})")
    endif()
    target_link_libraries(${target} PUBLIC anam::${dep})
  endforeach()
endfunction()

function(anam_library)
  cmake_parse_arguments(A "TORCH" "NAME;LAYER" "SOURCES;DEPS;PUBLIC_DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_TORCH AND NOT ANAMNESIS_WITH_TORCH)
    return()
  endif()
  add_library(anam_${A_NAME} STATIC ${A_SOURCES})
  add_library(anam::${A_NAME} ALIAS anam_${A_NAME})
  set_target_properties(anam_${A_NAME} PROPERTIES ANAM_LAYER ${A_LAYER})
  anam_target_options(anam_${A_NAME})
  anam_unite(anam_${A_NAME})
  anam_link(anam_${A_NAME} ${A_LAYER} ${A_DEPS})
  target_link_libraries(anam_${A_NAME} PUBLIC ${A_PUBLIC_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  if(A_TORCH)
    target_link_libraries(anam_${A_NAME} PUBLIC anam::torch)
    anam_use_precompiled(anam_${A_NAME} torch_library)
  else()
    anam_use_precompiled(anam_${A_NAME} library)
  endif()
endfunction()

# anam_program(NAME anamnesis-prep SOURCES main.cc DEPS prep [TORCH])
function(anam_program)
  cmake_parse_arguments(A "TORCH" "NAME" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_TORCH AND NOT ANAMNESIS_WITH_TORCH)
    return()
  endif()
  add_executable(${A_NAME} ${A_SOURCES})
  anam_target_options(${A_NAME})
  anam_link(${A_NAME} 99 ${A_DEPS})
  target_link_libraries(${A_NAME} PRIVATE ${A_PRIVATE_DEPS})
endfunction()

# anam_test(NAME shard_test LABEL unit SOURCES shard_test.cc DEPS shard [TORCH] [THREADED]): one GoogleTest program,
# registered as one CTest test with the label (unit, property, golden, fault, integration, lint, fuzz, deploy). THREADED
# ones have the label `threaded` too: they are what the preset `tsan` builds and runs.
function(anam_test)
  cmake_parse_arguments(A "TORCH;THREADED" "NAME;LABEL;TIMEOUT" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_TORCH AND NOT ANAMNESIS_WITH_TORCH)
    return()
  endif()
  add_executable(${A_NAME} ${A_SOURCES})
  anam_target_options(${A_NAME})
  anam_unite(${A_NAME})
  target_compile_options(${A_NAME} PRIVATE ${ANAM_TEST_OPTIONS})
  anam_link(${A_NAME} 99 ${A_DEPS})
  target_link_libraries(${A_NAME} PRIVATE ${A_PRIVATE_DEPS} GTest::gtest_main GTest::gmock)
  if(A_TORCH)
    anam_use_precompiled(${A_NAME} torch_test)
  else()
    anam_use_precompiled(${A_NAME} test)
  endif()
  add_test(NAME ${A_NAME} COMMAND ${A_NAME})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(A_THREADED)
    list(APPEND A_LABEL threaded)
    add_dependencies(threaded_tests ${A_NAME})
    if(ANAMNESIS_SANITIZE STREQUAL "thread")
      target_sources(${A_NAME} PRIVATE "${CMAKE_SOURCE_DIR}/tests/support/tsan_edges.cc")
      target_link_libraries(${A_NAME} PRIVATE absl::synchronization ${CMAKE_DL_LIBS})
    endif()
  endif()
  set_tests_properties(${A_NAME} PROPERTIES
    LABELS "${A_LABEL}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "ANAMNESIS_SOURCE_DIR=${CMAKE_SOURCE_DIR};ANAMNESIS_BIN_DIR=${CMAKE_BINARY_DIR}/bin;TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endfunction()

# anam_python_test(NAME run_test LABEL integration SCRIPT run_test.py [TIMEOUT s]): a unittest script run by Debian's
# python3 (standard library only); tests/support/unittest_report.py writes its results in GoogleTest's XML form.
function(anam_python_test)
  cmake_parse_arguments(A "" "NAME;LABEL;SCRIPT;TIMEOUT" "" ${ARGN})
  add_test(NAME ${A_NAME}
    COMMAND python3 "${CMAKE_SOURCE_DIR}/tests/support/unittest_report.py" "${CMAKE_CURRENT_SOURCE_DIR}/${A_SCRIPT}")
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  set_tests_properties(${A_NAME} PROPERTIES
    LABELS "${A_LABEL}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "ANAMNESIS_SOURCE_DIR=${CMAKE_SOURCE_DIR};ANAMNESIS_BIN_DIR=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1")
endfunction()
