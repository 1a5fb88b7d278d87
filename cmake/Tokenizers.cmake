# SPDX-License-Identifier: Apache-2.0
# The HF `tokenizers` crate as a static library behind our C ABI (workers/text/tokenizers_c), target anam::tokenizers_c.
# Built by cargo, offline and from the lock file; tools/bootstrap fetches the crates once.
set(_tok_dir "${CMAKE_SOURCE_DIR}/workers/text/tokenizers_c")
set(_tok_target "${CMAKE_BINARY_DIR}/cargo")
set(_tok_lib "${_tok_target}/release/libanam_tokenizers.a")
find_program(CARGO cargo REQUIRED)
file(GLOB _tok_sources CONFIGURE_DEPENDS "${_tok_dir}/src/*.rs")
add_custom_command(
  OUTPUT "${_tok_lib}"
  COMMAND ${CMAKE_COMMAND} -E env CARGO_TARGET_DIR=${_tok_target} ${CARGO} build --quiet --release --locked --offline
  WORKING_DIRECTORY "${_tok_dir}"
  DEPENDS ${_tok_sources} "${_tok_dir}/Cargo.toml" "${_tok_dir}/Cargo.lock"
  COMMENT "Building the tokenizers crate")
add_custom_target(anam_tokenizers_crate DEPENDS "${_tok_lib}")
add_library(anam_tokenizers_c INTERFACE)
add_library(anam::tokenizers_c ALIAS anam_tokenizers_c)
set_target_properties(anam_tokenizers_c PROPERTIES ANAM_LAYER 0)
target_include_directories(anam_tokenizers_c INTERFACE "${_tok_dir}")
target_link_libraries(anam_tokenizers_c INTERFACE "${_tok_lib}" Threads::Threads ${CMAKE_DL_LIBS} m)
add_dependencies(anam_tokenizers_c anam_tokenizers_crate)
