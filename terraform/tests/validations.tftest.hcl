# Every validation refuses what it is there to refuse.

mock_provider "google" {}

variables {
  project = "my-project"
  region  = "us-central1"
}

run "refuses_project" {
  command = plan

  variables {
    project = "P"
  }

  expect_failures = [var.project]
}

run "refuses_region" {
  command = plan

  variables {
    region = "us"
  }

  expect_failures = [var.region]
}

run "refuses_name" {
  command = plan

  variables {
    name = "W"
  }

  expect_failures = [var.name]
}

run "refuses_labels" {
  command = plan

  variables {
    labels = { Team = "a" }
  }

  expect_failures = [var.labels]
}

run "refuses_input_buckets" {
  command = plan

  variables {
    input_buckets = ["gs://crawl"]
  }

  expect_failures = [var.input_buckets]
}

run "refuses_temp_days" {
  command = plan

  variables {
    temp_days = 1
  }

  expect_failures = [var.temp_days]
}

run "refuses_worker_image" {
  command = plan

  variables {
    worker_image = "us-central1-docker.pkg.dev/p/winnow/worker:latest"
  }

  expect_failures = [var.worker_image]
}

run "refuses_launcher_image" {
  command = plan

  variables {
    launcher_image = "us-central1-docker.pkg.dev/p/winnow/launcher:latest"
  }

  expect_failures = [var.launcher_image]
}

run "refuses_launcher_machine_type" {
  command = plan

  variables {
    launcher_machine_type = "large"
  }

  expect_failures = [var.launcher_machine_type]
}

run "refuses_subnetwork" {
  command = plan

  variables {
    subnetwork = "regions/us-central1/subnetworks/mine"
  }

  expect_failures = [var.subnetwork]
}

run "refuses_subnet_cidr" {
  command = plan

  variables {
    subnet_cidr = "10.0.0.0"
  }

  expect_failures = [var.subnet_cidr]
}

run "refuses_launchers" {
  command = plan

  variables {
    launchers = ["allUsers"]
  }

  expect_failures = [var.launchers]
}

run "refuses_alert_emails" {
  command = plan

  variables {
    alert_emails = ["ada"]
  }

  expect_failures = [var.alert_emails]
}

run "refuses_max_reject_share" {
  command = plan

  variables {
    max_reject_share = 0
  }

  expect_failures = [var.max_reject_share]
}

run "refuses_no_output_hours" {
  command = plan

  variables {
    no_output_hours = 49
  }

  expect_failures = [var.no_output_hours]
}

run "refuses_budget" {
  command = plan

  variables {
    budget = { billing_account = "x", amount = 500 }
  }

  expect_failures = [var.budget]
}

run "refuses_schedule_preset" {
  command = plan

  variables {
    schedules = { n = { job = "score", schedule = "0 3 * * *", preset = "v100", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_name" {
  command = plan

  variables {
    schedules = { N_1 = { job = "score", schedule = "0 3 * * *", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_cron" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "daily", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_layout" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "0 3 * * *", layout = "C", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_workers" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "0 3 * * *", workers = 0, parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_flexrs" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "0 3 * * *", preset = "l4", flexrs = true, parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_output" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "0 3 * * *", parameters = {} } }
  }

  expect_failures = [var.schedules]
}

run "refuses_schedule_date_outside_crawl_id" {
  command = plan

  variables {
    schedules = { nn = { job = "score", schedule = "0 3 * * *", parameters = { input = "gs://b/{date}/*.tar", output = "gs://b/o", crawl_id = "{date}" } } }
  }

  expect_failures = [var.schedules]
}

run "refuses_chain_empty" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [] } }
  }

  expect_failures = [var.chains]
}

run "refuses_chain_cron" {
  command = plan

  variables {
    chains = { nn = { schedule = "x", steps = [{ job = "score", parameters = {} }] } }
  }

  expect_failures = [var.chains]
}

run "refuses_chain_workers" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "score", workers = 0, parameters = {} }] } }
  }

  expect_failures = [var.chains]
}

run "refuses_chain_preset" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "score", preset = "k80", parameters = {} }] } }
  }

  expect_failures = [var.chains]
}

run "refuses_a_job_without_a_template" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "paint", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_step_without_a_template" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "paint", parameters = { output = "gs://b/o" } }] } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_misspelt_parameter" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "score", parameters = { input = "gs://b/*.tar", output = "gs://b/o", precison = "bf16" } } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_misspelt_parameter_of_a_step" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "select", parameters = { output = "gs://b/o", keep_fration = "0.2" } }] } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_missing_parameter" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "score", parameters = { output = "gs://b/o" } } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_missing_parameter_of_a_step" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "publish", parameters = { output = "gs://b/o" } }] } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_value_that_dataflow_would" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "select", parameters = { output = "gs://b/o", keep_fraction = "half" } } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_gpu_that_the_job_has_no_use_for" {
  command = plan

  variables {
    chains = { nn = { schedule = "0 3 * * *", steps = [{ job = "reshard", preset = "l4", parameters = { output = "gs://b/o" } }] } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_gpu_that_would_idle" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "score", preset = "l4", parameters = { input = "gs://b/*.tar", output = "gs://b/o", device = "cpu" } } }
  }

  expect_failures = [output.run_now_commands]
}

run "refuses_a_gpu_that_is_not_there" {
  command = plan

  variables {
    schedules = { nn = { schedule = "0 3 * * *", job = "score", parameters = { input = "gs://b/*.tar", output = "gs://b/o", device = "cuda" } } }
  }

  expect_failures = [output.run_now_commands]
}
