# The clock launches a template under a fixed name. Dataflow runs one job of a name at a time, so a run that is still at
# work when the next is due makes that one fail (409, in the scheduler's log) instead of doing the work twice.

resource "google_cloud_scheduler_job" "this" {
  for_each         = local.built ? var.schedules : {}
  project          = var.project
  region           = var.region
  name             = "${var.name}-${each.key}"
  description      = "Launches ${each.value.job}."
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
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ launchParameter = merge({ jobName = "${var.name}-${each.key}" }, local.launches[each.key]) }))

    oauth_token {
      service_account_email = local.scheduler_email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_storage_bucket_object.template, google_service_account.scheduler, google_project_iam_member.launching]
}
