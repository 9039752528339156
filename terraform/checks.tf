# What is launched at night is checked when it is planned: a misspelt flag would fail at three in the morning.

locals {
  # job -> parameter -> what its template says of it
  told = { for job in local.jobs : job => { for one in jsondecode(file("${local.folder}/${job}/metadata.json")).parameters : one.name => one } }
  gpu  = { for name, preset in local.presets : name => anytrue([for text in preset["A"].additionalExperiments : startswith(text, "worker_accelerator=")]) }

  # name of a schedule, or CHAIN/STEP -> what is wrong with it
  mistakes = { for name, one in local.wanted : name => !contains(local.jobs, one.job) ? ["there is no template of ${one.job}; there are ${join(", ", local.jobs)}"] : concat(
    [for key in setsubtract(keys(one.parameters), keys(local.told[one.job])) : "${one.job} has no parameter ${key}; it has ${join(", ", keys(local.told[one.job]))}"],
    [for key, about in local.told[one.job] : "${one.job} needs ${key}" if key != "job" && !about.isOptional && !contains(keys(one.parameters), key)],
    [for key, value in one.parameters : "${key} must match ${local.told[one.job][key].regexes[0]}, got ${value}"
    if can(local.told[one.job][key]) && try(!can(regex(local.told[one.job][key].regexes[0], value)), false)],
    local.gpu[one.preset] && !can(local.told[one.job].device) ? ["${one.job} has no use for a GPU; take preset cpu"] : [],
    local.gpu[one.preset] && lookup(one.parameters, "device", "") == "cpu" ? ["the GPU of preset ${one.preset} would idle; leave device out, or take preset cpu"] : [],
    !local.gpu[one.preset] && lookup(one.parameters, "device", "") == "cuda" ? ["the workers of preset ${one.preset} have no GPU; leave device out, or take t4, l4, a100 or h100"] : [],
  ) }
  mistaken = [for name, lines in local.mistakes : join("\n", [for line in lines : "${name}: ${line}."]) if length(lines) > 0]
}
