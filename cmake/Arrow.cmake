# SPDX-License-Identifier: Apache-2.0
# anam::arrow_s3: Arrow C++ with its S3 file system from the unpacked pyarrow wheel in .deps/site (tools/bootstrap puts it
# there). Only anamnesis-store links it. Sets ANAMNESIS_WITH_ARROW (OFF without the wheel).
set(_arrow "${ANAMNESIS_SITE}/pyarrow")
set(ANAMNESIS_WITH_ARROW OFF)
if(EXISTS "${_arrow}/libarrow_s3.so.2600")
  set(ANAMNESIS_WITH_ARROW ON)
  foreach(lib arrow arrow_s3)
    add_library(anam_import_${lib} SHARED IMPORTED)
    set_target_properties(anam_import_${lib} PROPERTIES IMPORTED_LOCATION "${_arrow}/lib${lib}.so.2600")
  endforeach()
  add_library(anam_arrow_s3 INTERFACE)
  add_library(anam::arrow_s3 ALIAS anam_arrow_s3)
  target_include_directories(anam_arrow_s3 SYSTEM INTERFACE "${_arrow}/include")
  target_link_libraries(anam_arrow_s3 INTERFACE anam_import_arrow_s3 anam_import_arrow)
  target_link_options(anam_arrow_s3 INTERFACE -Wl,--allow-shlib-undefined "-Wl,-rpath,${_arrow}")
else()
  message(STATUS "No Arrow in ${ANAMNESIS_SITE}: building without anamnesis-store (tools/bootstrap fetches it)")
endif()
