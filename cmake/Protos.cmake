# SPDX-License-Identifier: Apache-2.0
# anam::proto: proto/anamnesis/v1 and the error messages of google.rpc (from the pinned wheel
# googleapis-common-protos) as C++. Generated code is compiled without our warnings.
find_package(Protobuf REQUIRED)
pkg_check_modules(grpcpp REQUIRED IMPORTED_TARGET grpc++)
find_library(ANAM_GRPC_REFLECTION grpc++_reflection REQUIRED)
find_program(ANAM_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

set(_protos anamnesis/v1/job anamnesis/v1/job_service anamnesis/v1/checkpoint_service anamnesis/v1/cluster_service
            anamnesis/v1/worker_service)
set(_google google/rpc/status google/rpc/error_details)
set(_out "${CMAKE_BINARY_DIR}/proto")
set(_site "${CMAKE_SOURCE_DIR}/.deps/site")
if(NOT EXISTS "${_site}/google/rpc/status.proto")
  message(FATAL_ERROR "google/rpc/status.proto is not in .deps/site: run tools/bootstrap")
endif()
file(MAKE_DIRECTORY "${_out}")

set(_sources)
foreach(proto ${_google})
  add_custom_command(OUTPUT "${_out}/${proto}.pb.cc" "${_out}/${proto}.pb.h"
    COMMAND protobuf::protoc "--cpp_out=${_out}" "-I${_site}" "${_site}/${proto}.proto"
    DEPENDS "${_site}/${proto}.proto" VERBATIM)
  list(APPEND _sources "${_out}/${proto}.pb.cc")
endforeach()
foreach(proto ${_protos})
  set(_grpc)
  if(proto MATCHES "_service$")
    set(_grpc "${_out}/${proto}.grpc.pb.cc" "${_out}/${proto}.grpc.pb.h")
  endif()
  add_custom_command(OUTPUT "${_out}/${proto}.pb.cc" "${_out}/${proto}.pb.h" ${_grpc}
    COMMAND protobuf::protoc "--cpp_out=${_out}" "--grpc_out=${_out}"
            "--plugin=protoc-gen-grpc=${ANAM_GRPC_CPP_PLUGIN}" "-I${CMAKE_SOURCE_DIR}/proto"
            "${CMAKE_SOURCE_DIR}/proto/${proto}.proto"
    DEPENDS "${CMAKE_SOURCE_DIR}/proto/${proto}.proto" "${CMAKE_SOURCE_DIR}/proto/anamnesis/v1/job.proto" VERBATIM)
  list(APPEND _sources "${_out}/${proto}.pb.cc")
  if(_grpc)
    list(APPEND _sources "${_out}/${proto}.grpc.pb.cc")
  endif()
endforeach()

add_library(anam_proto STATIC ${_sources})
add_library(anam::proto ALIAS anam_proto)
set_target_properties(anam_proto PROPERTIES ANAM_LAYER 0)
target_include_directories(anam_proto SYSTEM PUBLIC "${_out}")
target_link_libraries(anam_proto PUBLIC protobuf::libprotobuf PkgConfig::grpcpp)
target_compile_options(anam_proto PRIVATE -w $<$<CONFIG:Release>:-O1>)
if(ANAM_SANITIZERS)
  target_compile_options(anam_proto PUBLIC ${ANAM_SANITIZERS})
endif()
