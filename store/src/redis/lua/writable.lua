#!lua
-- Writes nothing, and is refused where a script that writes would be: at the memory limit, where Redis cannot save,
-- where too few replicas follow.
return 1
