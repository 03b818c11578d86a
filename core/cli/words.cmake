# Writes what `rocforge words FORM` prints to FILE.
get_filename_component(folder ${FILE} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
execute_process(COMMAND ${PROGRAM} words ${FORM} OUTPUT_FILE ${FILE} COMMAND_ERROR_IS_FATAL ANY)
