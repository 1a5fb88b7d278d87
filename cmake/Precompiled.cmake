# SPDX-License-Identifier: Apache-2.0
# Precompiled headers for a cold build: each set is compiled once and reused by every target of its kind. Libraries
# (-fPIC) and programs (-fPIE) need sets of their own, as GCC refuses one made under another setting.
#   library, test            folders and GoogleTest programs without LibTorch
#   torch_library, torch_test  the same with it
# A file still includes what it uses: the preset `asan` builds without the sets. ccache needs -fpch-preprocess and the
# sloppiness that the presets set to reuse what was compiled with them.
option(ANAMNESIS_PRECOMPILE "Share precompiled headers between targets" OFF)

set(_anam_common_headers <algorithm> <cstdint> <functional> <map> <memory> <optional> <sstream> <string> <string_view>
    <utility> <vector> <absl/status/status.h> <absl/status/statusor.h> <absl/time/time.h> <nlohmann/json.hpp>)
set(_anam_test_headers <gmock/gmock.h> <gtest/gtest.h>)
set(_anam_torch_headers <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/variable.h>)

function(_anam_own_precompiled set kind headers libraries)
  set(owner anam_precompiled_${set})
  if(kind STREQUAL "library")
    add_library(${owner} STATIC "${CMAKE_SOURCE_DIR}/cmake/precompiled/empty.cc")
  else()
    add_executable(${owner} "${CMAKE_SOURCE_DIR}/cmake/precompiled/empty.cc")
    set_target_properties(${owner} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/precompiled")
  endif()
  anam_target_options(${owner})
  if(NOT kind STREQUAL "library")
    target_compile_options(${owner} PRIVATE ${ANAM_TEST_OPTIONS})
  endif()
  target_link_libraries(${owner} PRIVATE absl::status absl::statusor absl::time nlohmann_json::nlohmann_json ${libraries})
  target_precompile_headers(${owner} PRIVATE ${headers})
endfunction()

# Call once, after the packages were found.
function(anam_precompile)
  if(NOT ANAMNESIS_PRECOMPILE)
    return()
  endif()
  _anam_own_precompiled(library library "${_anam_common_headers}" "")
  _anam_own_precompiled(test program "${_anam_common_headers};${_anam_test_headers}" "GTest::gmock")
  if(ANAMNESIS_WITH_TORCH)
    set(headers "${_anam_torch_headers};${_anam_common_headers}")
    _anam_own_precompiled(torch_library library "${headers}" "anam::torch")
    _anam_own_precompiled(torch_test program "${headers};${_anam_test_headers}" "anam::torch;GTest::gmock")
  endif()
endfunction()

function(anam_use_precompiled target set)
  if(ANAMNESIS_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM anam_precompiled_${set})
  endif()
endfunction()
