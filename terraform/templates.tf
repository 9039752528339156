# One template file a job: image, parameters, and where and as whom it runs. No build step writes it.

locals {
  # What every job of this installation has in common.
  environment = merge({
    serviceAccountEmail  = local.worker_email
    tempLocation         = "gs://${google_storage_bucket.temp.name}/tmp"
    stagingLocation      = "gs://${google_storage_bucket.temp.name}/staging"
    ipConfiguration      = local.subnetwork == "" ? "WORKER_IP_PUBLIC" : "WORKER_IP_PRIVATE"
    additionalUserLabels = local.labels
    },
    local.subnetwork == "" ? {} : { subnetwork = local.subnetwork },
    var.launcher_machine_type == "" ? {} : { launcherMachineType = var.launcher_machine_type },
  )

  images = { for job in local.jobs : job => contains(var.slim_jobs, job) ? var.launcher_image : var.worker_image }
}

resource "google_storage_bucket_object" "template" {
  for_each     = local.built ? local.jobs : toset([])
  bucket       = google_storage_bucket.this["templates"].name
  name         = "templates/${each.value}.json"
  content_type = "application/json"
  content = jsonencode({
    image    = var.launcher_image
    sdkInfo  = { language = "PYTHON" }
    metadata = jsondecode(file("${local.folder}/${each.value}/metadata.json"))
    defaultEnvironment = merge(local.environment, {
      sdkContainerImage = local.images[each.value]
      machineType       = local.presets["cpu"]["A"].machineType # a launch names its own; lists are left to it
      diskSizeGb        = local.presets["cpu"]["A"].diskSizeGb
    })
  })
}

locals {
  # (job, preset, layout, workers, flexrs, parameters) -> the body of flexTemplates:launch, but for the name. A preset
  # sets what `winnow launch` sets: its file is made from the same code.
  wanted = merge(
    { for name, one in var.schedules : name => one },
    merge([for name, chain in var.chains : { for at, step in chain.steps : "${name}/${at}" => step }]...),
  )
  shapes = { for name, one in local.wanted : name => local.presets[one.preset][one.layout == "" ? local.presets[one.preset].layout : one.layout] }
  launches = {
    for name, one in local.wanted : name => {
      containerSpecGcsPath = "gs://${google_storage_bucket.this["templates"].name}/templates/${one.job}.json"
      parameters           = merge({ job = one.job }, local.gpu[one.preset] && can(local.told[one.job].device) ? { device = "cuda" } : {}, one.parameters)
      environment = merge(
        local.environment,
        { sdkContainerImage = lookup(local.images, one.job, var.worker_image) },
        local.shapes[name],
        # once more as options: a Python launcher passes these on, and not the fields of the environment
        { additionalPipelineOptions = concat(local.shapes[name].additionalPipelineOptions, ["sdk_container_image=${lookup(local.images, one.job, var.worker_image)}"]) },
        { numWorkers = one.preset == "cpu" ? 1 : one.workers, maxWorkers = one.workers },
        one.flexrs ? { flexrsGoal = "FLEXRS_COST_OPTIMIZED" } : {},
      )
    }
  }
}
