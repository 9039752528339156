locals {
  # The flags that a job refuses to start without, but for the output.
  example_flags = {
    curate          = "--input 'gs://POOL/*.tar'"
    score           = "--input 'gs://POOL/*.tar'"
    train-filter    = "--input 'gs://POOL/*.tar'"
    annotate        = "--columns caption"
    import-scores   = "--input gs://POOL/scores.parquet --by uid --name others"
    import-datacomp = "--input gs://POOL/metadata"
    publish         = "--crawl_id 2026-11-21"
    score-flyt      = "--head gs://POOL/my-flyt"
  }
  registry = "${var.region}-docker.pkg.dev/${var.project}/${var.name}"
  common   = "--project ${var.project} --region ${var.region}"
  spec     = "gs://${var.project}-${var.name}-templates/templates"
}

output "buckets" {
  description = "Addresses of the buckets."
  value       = merge({ for key, bucket in google_storage_bucket.this : key => "gs://${bucket.name}" }, { temp = "gs://${google_storage_bucket.temp.name}" })
}

output "accounts" {
  description = "Addresses of the accounts."
  value       = { worker = local.worker_email, launcher = local.launcher_email, scheduler = local.scheduler_email }
}

output "templates" {
  description = "Address of each job's template; empty until the images are built."
  value       = { for job, object in google_storage_bucket_object.template : job => "gs://${object.bucket}/${object.name}" }
}

output "build_commands" {
  description = "Commands, in the root of the repository, that build and push both images and print their digests."
  value = [
    "gcloud auth configure-docker ${var.region}-docker.pkg.dev",
    "docker build --file templates/Dockerfile.worker --tag ${local.registry}/worker:VERSION .",
    "docker build --file templates/Dockerfile.launcher --tag ${local.registry}/launcher:VERSION .",
    "docker push ${local.registry}/worker:VERSION",
    "docker push ${local.registry}/launcher:VERSION",
    "gcloud artifacts docker images describe ${local.registry}/worker:VERSION --format='value(image_summary.fully_qualified_digest)'",
    "gcloud artifacts docker images describe ${local.registry}/launcher:VERSION --format='value(image_summary.fully_qualified_digest)'",
  ]
}

output "act_as_launcher_commands" {
  description = "Commands after which `winnow launch` and gcloud act as the launcher's account; for those whom `launchers` names."
  value = [
    "gcloud auth application-default login --impersonate-service-account=${local.launcher_email}",
    "gcloud config set auth/impersonate_service_account ${local.launcher_email}",
  ]
}

output "launch_commands" {
  description = "Commands that launch each job; the flags after -- are examples."
  value = {
    for job in local.jobs : job => join(" ", [
      "winnow launch ${job} ${local.common} --template ${local.spec}/${job}.json",
      "--job_name ${var.name}-${job} --temp_location gs://${google_storage_bucket.temp.name}/tmp",
      "--service_account ${local.worker_email}",
      local.subnetwork == "" ? "--public_ips true" : "--subnetwork ${local.subnetwork}",
      "--image ${local.images[job] == "" ? "IMAGE" : local.images[job]}",
      "--preset ${contains(["curate", "score"], job) ? "l4 --workers 10" : "cpu --workers 10"}",
      "-- --output gs://${google_storage_bucket.this["output"].name}/run",
      lookup(local.example_flags, job, ""),
    ])
  }
}

output "run_again_commands" {
  description = "Commands that run each chain for the night of a DATE, as 2026-11-21, say one that failed; what is done is not done again."
  value = {
    for name, argument in local.chain_arguments : name => join(" ", [
      "gcloud workflows run ${var.name}-chain --project ${var.project} --location ${var.region}",
      "--data '${replace(jsonencode(merge(argument, { date = "DATE" })), "'", "'\\''")}'",
    ])
  }
}

output "run_now_commands" {
  description = "Commands that start each schedule and chain at once, as the clock would."
  value = concat(
    [for name in sort(keys(var.schedules)) : "gcloud scheduler jobs run ${var.name}-${name} --project ${var.project} --location ${var.region}"],
    [for name in sort(keys(var.chains)) : "gcloud scheduler jobs run ${var.name}-chain-${name} --project ${var.project} --location ${var.region}"],
  )

  # An output is looked at in every plan, also before there are images and with them schedules.
  precondition {
    condition     = length(local.mistaken) == 0
    error_message = "schedules and chains:\n${join("\n", local.mistaken)}"
  }
}
