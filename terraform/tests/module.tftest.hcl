# `make terraform-test`. No cloud: the provider is mocked, its schema is the published one.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

variables {
  project        = "my-project"
  region         = "us-central1"
  input_buckets  = ["crawl"]
  worker_image   = "us-central1-docker.pkg.dev/my-project/winnow/worker@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  launcher_image = "us-central1-docker.pkg.dev/my-project/winnow/launcher@sha256:2222222222222222222222222222222222222222222222222222222222222222"
  alert_emails   = ["ada@example.com"]
  budget         = { billing_account = "012345-6789AB-CDEF01", amount = 500 }
  schedules = {
    nightly = {
      job        = "score"
      schedule   = "0 3 * * *"
      preset     = "l4"
      workers    = 20
      parameters = { input = "gs://crawl/{crawl_id}/*.tar", output = "gs://my-project-winnow-output/run", crawl_id = "{yesterday}" }
    }
  }
  chains = {
    fresh = {
      schedule  = "0 4 * * *"
      time_zone = "Asia/Tokyo"
      steps = [
        { job = "score", preset = "t4", layout = "A", workers = 2, parameters = { input = "gs://crawl/{date}/*.tar", output = "gs://my-project-winnow-output/{date}" } },
        { job = "reshard", flexrs = true, workers = 8, parameters = { output = "gs://my-project-winnow-output/{date}" } },
      ]
    }
  }
}

run "nothing_is_launched_before_there_are_images" {
  command = plan

  variables {
    worker_image   = ""
    launcher_image = ""
  }

  assert {
    condition     = length(google_storage_bucket_object.template) + length(google_cloud_scheduler_job.this) + length(google_cloud_scheduler_job.chain) == 0
    error_message = "templates and schedules must wait for the images"
  }
}

run "every_job_has_a_template_with_a_pinned_launcher" {
  command = plan

  assert {
    condition     = length(google_storage_bucket_object.template) == length(fileset("../templates", "*/metadata.json"))
    error_message = "a job lacks its template"
  }

  assert {
    condition     = alltrue([for object in google_storage_bucket_object.template : strcontains(jsondecode(object.content).image, "launcher@sha256:")])
    error_message = "a template's launcher is not pinned"
  }

  assert {
    condition     = strcontains(jsondecode(google_storage_bucket_object.template["select"].content).defaultEnvironment.sdkContainerImage, "/launcher@")
    error_message = "select needs no torch: its workers run the slim image"
  }

  assert {
    condition     = strcontains(jsondecode(google_storage_bucket_object.template["score"].content).defaultEnvironment.sdkContainerImage, "/worker@")
    error_message = "score needs torch"
  }
}

run "the_clock_launches_under_a_fixed_name" {
  command = plan

  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.jobName == "winnow-nightly"
    error_message = "the name is the mutex"
  }

  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.parameters.crawl_id == "{yesterday}"
    error_message = "the job itself turns the word into a day, each night into another"
  }

  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.environment.machineType == "g2-standard-12"
    error_message = "preset l4 has a G2 machine"
  }

  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.parameters.device == "cuda"
    error_message = "a GPU that is paid for must be used"
  }

  assert {
    condition     = google_cloud_scheduler_job.this["nightly"].http_target[0].oauth_token[0].service_account_email == "winnow-scheduler@my-project.iam.gserviceaccount.com"
    error_message = "the clock acts as the scheduler's account"
  }
}

run "a_chain_hands_its_steps_to_the_workflow" {
  command = plan

  assert {
    condition     = jsondecode(jsondecode(base64decode(google_cloud_scheduler_job.chain["fresh"].http_target[0].body)).argument).steps[*].jobName == ["winnow-fresh-0-score", "winnow-fresh-1-reshard"]
    error_message = "steps are launched in order, each under a fixed name"
  }

  assert {
    condition     = jsondecode(jsondecode(base64decode(google_cloud_scheduler_job.chain["fresh"].http_target[0].body)).argument).steps[1].environment.flexrsGoal == "FLEXRS_COST_OPTIMIZED"
    error_message = "flexrs must reach the request"
  }

  assert {
    condition     = jsondecode(jsondecode(base64decode(google_cloud_scheduler_job.chain["fresh"].http_target[0].body)).argument).time_zone == "Asia/Tokyo"
    error_message = "days are those of the chain's time zone"
  }

  assert {
    condition     = jsondecode(trimsuffix(split("--data '", output.run_again_commands["fresh"])[1], "'")).date == "DATE"
    error_message = "a night must be run again for its date"
  }

  assert {
    condition     = anytrue([for text in jsondecode(jsondecode(base64decode(google_cloud_scheduler_job.chain["fresh"].http_target[0].body)).argument).steps[0].environment.additionalExperiments : strcontains(text, "use_nvidia_mps")])
    error_message = "layout A shares the GPU"
  }
}

run "every_service_that_is_called_is_enabled" {
  command = plan

  assert {
    condition = length(setsubtract([
      "artifactregistry.googleapis.com", "cloudresourcemanager.googleapis.com", "cloudscheduler.googleapis.com", "compute.googleapis.com",
      "dataflow.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "monitoring.googleapis.com", "storage.googleapis.com",
      "workflowexecutions.googleapis.com", "workflows.googleapis.com",
    ], keys(google_project_service.this))) == 0
    error_message = "on a fresh project, what needs the service fails"
  }

  assert {
    condition     = strcontains(output.act_as_launcher_commands[0], "--impersonate-service-account=winnow-launcher@my-project.iam.gserviceaccount.com")
    error_message = "people must be told how to act as the launcher"
  }
}

run "buckets_are_private_and_temporary_files_leave_nothing" {
  command = plan

  assert {
    condition = alltrue([
      for bucket in concat(values(google_storage_bucket.this), [google_storage_bucket.temp]) :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.location == var.region
    ])
    error_message = "a bucket is open or elsewhere"
  }

  assert {
    condition     = google_storage_bucket.temp.soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "soft delete bills temporary files"
  }

  assert {
    condition     = alltrue([for rule in google_storage_bucket.temp.lifecycle_rule : alltrue([for when in rule.condition : when.age == 14])])
    error_message = "temporary files must go"
  }
}

run "rights_are_the_least" {
  command = plan

  assert {
    condition     = [for key, member in google_storage_bucket_iam_member.worker_reads : member.role if key == "crawl"] == ["roles/storage.objectViewer"]
    error_message = "workers read pools and no more"
  }

  assert {
    condition     = toset(keys(google_storage_bucket_iam_member.worker_writes)) == toset(["output", "temp"])
    error_message = "workers write output and temp and nothing else"
  }

  assert {
    condition     = google_project_iam_member.worker.role == "roles/dataflow.worker"
    error_message = "workers have one right on the project"
  }

  assert {
    condition     = alltrue([for member in google_project_iam_member.launching : member.role == "projects/my-project/roles/winnow_launch"])
    error_message = "launching needs one right on the project"
  }
}

run "the_network_is_private" {
  command = plan

  assert {
    condition     = google_compute_subnetwork.this[0].private_ip_google_access
    error_message = "without it, workers without public addresses reach nothing"
  }

  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.environment.ipConfiguration == "WORKER_IP_PRIVATE"
    error_message = "workers have no public addresses"
  }
}

run "the_default_network_when_none_is_wanted" {
  command = plan

  variables {
    create_network = false
  }

  assert {
    condition     = length(google_compute_network.this) == 0 && jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.environment.ipConfiguration == "WORKER_IP_PUBLIC"
    error_message = "the default network has no Private Google Access"
  }
}

run "alerts_and_budget" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.failed) + length(google_monitoring_alert_policy.rejects) + length(google_monitoring_alert_policy.no_output) == 3
    error_message = "there are three alerts"
  }

  assert {
    condition     = google_billing_budget.this[0].amount[0].specified_amount[0].units == "500"
    error_message = "the budget is the amount that was named"
  }
}

run "silence_is_told_after_the_hours_and_not_when_the_alert_is_made" {
  command = plan

  assert {
    condition = (
      strcontains(google_monitoring_alert_policy.no_output[0].conditions[0].condition_prometheus_query_language[0].query, "[18h]") &&
      google_monitoring_alert_policy.no_output[0].conditions[0].condition_prometheus_query_language[0].duration == "64800s"
    )
    error_message = "36 hours: 18 that are looked back, held for 18 more"
  }

  assert {
    condition     = google_monitoring_alert_policy.rejects[0].conditions[0].condition_prometheus_query_language[0].duration == "0s"
    error_message = "a short job is over before a longer wait"
  }
}

run "no_silence_where_nothing_writes_shards" {
  command = plan

  variables {
    chains = {}
  }

  assert {
    condition     = length(google_monitoring_alert_policy.no_output) == 0
    error_message = "a schedule of score alone writes no shard, ever"
  }
}

run "the_launcher_may_be_given_a_larger_machine" {
  command = plan

  variables {
    launcher_machine_type = "n2-highmem-4"
  }

  assert {
    condition = (
      jsondecode(base64decode(google_cloud_scheduler_job.this["nightly"].http_target[0].body)).launchParameter.environment.launcherMachineType == "n2-highmem-4" &&
      jsondecode(google_storage_bucket_object.template["score"].content).defaultEnvironment.launcherMachineType == "n2-highmem-4"
    )
    error_message = "the launcher's machine must reach requests and templates"
  }
}

run "no_alerts_and_no_budget" {
  command = plan

  variables {
    alert_emails = []
    budget       = null
  }

  assert {
    condition     = length(google_monitoring_alert_policy.failed) + length(google_billing_budget.this) == 0
    error_message = "nobody is to be told"
  }
}

run "apply_prints_commands" {
  command = apply

  assert {
    condition     = startswith(output.launch_commands["score"], "winnow launch score --project my-project --region us-central1")
    error_message = "the command must be one to paste"
  }

  assert {
    condition     = length(output.run_now_commands) == 2
    error_message = "one for the schedule, one for the chain"
  }

  assert {
    condition     = [for project in google_billing_budget.this[0].budget_filter[0].projects : project] == ["projects/123456789012"]
    error_message = "the budgets' API answers with the number; by its id, every plan shows a change"
  }
}
