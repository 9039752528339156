# Three things worth being woken for, and a budget. Winnow's counters reach Cloud Monitoring as Dataflow's user counters.

locals {
  alerting = length(var.alert_emails) > 0
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  ours     = "job_name=~\"${var.name}-.*\""
  counter  = "dataflow_googleapis_com:job_user_counter"

  # Half of the hours is looked back, and that must hold for the other half: an alert looks back 25 hours and no more, and
  # one that only looks back would fire when it is made, before the first night.
  silence = ceil(var.no_output_hours / 2)
  writing = anytrue([for one in values(local.wanted) : contains(["curate", "reshard"], one.job)])
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = var.alert_emails
  project      = var.project
  display_name = "Winnow: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  depends_on   = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "failed" {
  count                 = local.alerting ? 1 : 0
  project               = var.project
  display_name          = "Winnow: a job failed"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "a job failed"
    condition_threshold {
      filter          = "metric.type = \"dataflow.googleapis.com/job/is_failed\" AND resource.type = \"dataflow_job\" AND resource.labels.job_name = starts_with(\"${var.name}-\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The job's log ends with one line that says why. The same launch continues where it was: what is finished is not done again."
  }
}

# Cloud Monitoring knows a counter by its last name alone, so `in` is counted by the stage that can reject and no other.
resource "google_monitoring_alert_policy" "rejects" {
  count                 = local.alerting ? 1 : 0
  project               = var.project
  display_name          = "Winnow: many samples are rejected"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "share of rejected samples"
    condition_prometheus_query_language {
      query               = "sum by (job_name) (${local.counter}{${local.ours},metric_name=~\"rejected_.*\"}) / sum by (job_name) (${local.counter}{${local.ours},metric_name=\"in\"}) > ${var.max_reject_share}"
      duration            = "0s" # a job may be over in ten minutes
      evaluation_interval = "300s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/errors.md says what each reason means and what to do; the counters rejected_REASON say which it is."
  }
}

resource "google_monitoring_alert_policy" "no_output" {
  count                 = local.alerting && var.no_output_hours > 0 && local.writing ? 1 : 0
  project               = var.project
  display_name          = "Winnow: no shard was written in ${var.no_output_hours} hours"
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "no shard was written"
    condition_prometheus_query_language {
      query               = "absent_over_time(${local.counter}{${local.ours},metric_name=\"out_bytes\"}[${local.silence}h])"
      duration            = "${(var.no_output_hours - local.silence) * 3600}s"
      evaluation_interval = "900s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Look at the scheduler's log (was anything launched?), then at the chain's executions, then at the jobs."
  }
}

# The budgets' API answers with the project's number whatever it was given; by its id, every plan would show a change.
data "google_project" "this" {
  count      = var.budget == null ? 0 : 1
  project_id = var.project
  depends_on = [google_project_service.this]
}

resource "google_billing_budget" "this" {
  count           = var.budget == null ? 0 : 1
  billing_account = var.budget.billing_account
  display_name    = "Winnow in ${var.project}"

  budget_filter {
    projects = ["projects/${data.google_project.this[0].number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
    disable_default_iam_recipients   = false
  }

  depends_on = [google_project_service.budgets]
}
