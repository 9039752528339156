# Jobs that follow one another: a workflow launches each, waits for it, and goes on only when it has succeeded.

resource "google_workflows_workflow" "chain" {
  # What to launch comes as the execution's argument, so one source serves all chains and holds no expression of ours.
  count               = local.built && length(var.chains) > 0 ? 1 : 0
  project             = var.project
  region              = var.region
  name                = "${var.name}-chain"
  description         = "Launches Dataflow templates one after another."
  service_account     = google_service_account.scheduler.id
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = false
  labels              = local.labels
  source_contents     = file("${path.module}/workflows/chain.yaml")

  depends_on = [google_project_service.this]
}

# The narrowest place for this right is the project.
resource "google_project_iam_member" "invoker" {
  count   = local.built && length(var.chains) > 0 ? 1 : 0
  project = var.project
  role    = "roles/workflows.invoker"
  member  = google_service_account.scheduler.member
}

resource "google_project_iam_member" "chain_logs" {
  count   = local.built && length(var.chains) > 0 ? 1 : 0
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.scheduler.member
}

locals {
  chain_arguments = {
    for name, chain in var.chains : name => {
      project   = var.project
      region    = var.region
      time_zone = chain.time_zone
      steps = [for at, step in chain.steps : merge(
        { jobName = "${var.name}-${name}-${at}-${step.job}" },
        local.launches["${name}/${at}"],
      )]
    }
  }
}

resource "google_cloud_scheduler_job" "chain" {
  for_each         = local.built ? var.chains : {}
  project          = var.project
  region           = var.region
  name             = "${var.name}-chain-${each.key}"
  description      = "Starts the chain ${join(" -> ", each.value.steps[*].job)}."
  schedule         = each.value.schedule
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://workflowexecutions.googleapis.com/v1/projects/${var.project}/locations/${var.region}/workflows/${var.name}-chain/executions"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ argument = jsonencode(local.chain_arguments[each.key]) }))

    oauth_token {
      service_account_email = local.scheduler_email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_storage_bucket_object.template, google_workflows_workflow.chain, google_project_iam_member.invoker]
}
