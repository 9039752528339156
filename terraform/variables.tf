variable "project" {
  type        = string
  description = "Id of the project that everything is made in; it exists and has a billing account."

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project's id: 6 to 30 lower-case letters, digits and hyphens, from a letter on."
  }
}

variable "region" {
  type        = string
  description = "Region of buckets, images and jobs; that of the pool's buckets, or reading it costs egress."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region, for example us-central1."
  }
}

variable "name" {
  type        = string
  description = "First part of the name of everything that is made; two of them live side by side in one project."
  default     = "winnow"

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{1,13}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 15 lower-case letters, digits and hyphens, from a letter on: accounts have short names."
  }
}

variable "labels" {
  type        = map(string)
  description = "Labels of buckets, images and workers, beside app = winnow."
  default     = {}

  validation {
    condition = alltrue([
      for key, value in var.labels : can(regex("^[a-z][-_a-z0-9]{0,62}$", key)) && can(regex("^[-_a-z0-9]{0,63}$", value))
    ])
    error_message = "labels must be of lower-case letters, digits, _ and -; keys begin with a letter."
  }
}

variable "input_buckets" {
  type        = set(string)
  description = "Names of existing buckets with pools; workers may read them and no more."
  default     = []

  validation {
    condition     = alltrue([for bucket in var.input_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", bucket))])
    error_message = "input_buckets must be names of buckets, without gs://."
  }
}

variable "temp_days" {
  type        = number
  description = "Days after which temporary and staged files are deleted; longer than the longest job."
  default     = 14

  validation {
    condition     = var.temp_days >= 2 && var.temp_days <= 365 && floor(var.temp_days) == var.temp_days
    error_message = "temp_days must be a whole number from 2 to 365; no job may outlive its temporary files."
  }
}

variable "force_destroy" {
  type        = bool
  description = "Whether `terraform destroy` deletes buckets that hold files."
  default     = false
}

variable "worker_image" {
  type        = string
  description = "Image of the workers, by digest; empty until it is built, and then there are no templates yet."
  default     = ""

  validation {
    condition     = var.worker_image == "" || can(regex("^[a-z0-9./_-]+@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "worker_image must be pinned, REGISTRY/IMAGE@sha256:DIGEST; a tag can change under a schedule."
  }
}

variable "launcher_image" {
  type        = string
  description = "Image of the launcher, by digest; empty until it is built, and then there are no templates yet."
  default     = ""

  validation {
    condition     = var.launcher_image == "" || can(regex("^[a-z0-9./_-]+@sha256:[0-9a-f]{64}$", var.launcher_image))
    error_message = "launcher_image must be pinned, REGISTRY/IMAGE@sha256:DIGEST; a tag can change under a schedule."
  }

  validation {
    condition     = (var.launcher_image == "") == (var.worker_image == "")
    error_message = "launcher_image and worker_image are given together: both are built from one version."
  }
}

variable "slim_jobs" {
  type        = set(string)
  description = "Jobs that need no torch: their workers run the launcher's image, which is a tenth as large."
  default     = ["select", "reshard", "publish"]
}

variable "launcher_machine_type" {
  type        = string
  description = "Machine of the launcher, which lists the input; more memory for pools of millions of shards, and empty for Dataflow's own choice."
  default     = ""

  validation {
    condition     = var.launcher_machine_type == "" || can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)+$", var.launcher_machine_type))
    error_message = "launcher_machine_type must be a type of Compute Engine, for example n2-highmem-4."
  }
}

variable "create_network" {
  type        = bool
  description = "Make a private network for the workers; without, name a subnetwork, or they get the default network."
  default     = true
}

variable "subnetwork" {
  type        = string
  description = "Existing subnetwork with Private Google Access, regions/REGION/subnetworks/NAME; instead of create_network."
  default     = ""

  validation {
    condition     = var.subnetwork == "" || can(regex("(^|/)regions/[a-z0-9-]+/subnetworks/[a-z0-9-]+$", var.subnetwork))
    error_message = "subnetwork must end in regions/REGION/subnetworks/NAME."
  }

  validation {
    condition     = var.subnetwork == "" || !var.create_network
    error_message = "subnetwork is for create_network = false: name one, or have one made."
  }
}

variable "subnet_cidr" {
  type        = string
  description = "Addresses of the workers in the network that is made: a /20 has room for 4,092."
  default     = "10.128.0.0/20"

  validation {
    condition     = can(cidrhost(var.subnet_cidr, 1)) && try(tonumber(split("/", var.subnet_cidr)[1]) <= 28, false)
    error_message = "subnet_cidr must be a range of at least 16 addresses, for example 10.128.0.0/20."
  }
}

variable "launchers" {
  type        = set(string)
  description = "Who may act as the launcher's account, for example user:ada@example.com or group:data@example.com."
  default     = []

  validation {
    condition     = alltrue([for member in var.launchers : can(regex("^(user|group|serviceAccount):[^@]+@[^@]+$", member))])
    error_message = "launchers must be user:, group: or serviceAccount: and an address; never allUsers."
  }
}

variable "schedules" {
  type = map(object({
    job        = string
    schedule   = string
    time_zone  = optional(string, "Etc/UTC")
    paused     = optional(bool, false)
    preset     = optional(string, "cpu")
    layout     = optional(string, "")
    workers    = optional(number, 1)
    flexrs     = optional(bool, false)
    parameters = map(string)
  }))
  description = "Jobs to launch by the clock: name -> job, cron schedule, workers and the job's flags; crawl_id may be {date} or {yesterday}, days in UTC when the job starts."
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.schedules) : can(regex("^[a-z][-a-z0-9]{0,40}[a-z0-9]$", name))])
    error_message = "schedules: a name is the job's in Dataflow, of lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : length(split(" ", trimspace(one.schedule))) == 5])
    error_message = "schedules: schedule must be cron's five fields, for example 0 3 * * *."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : contains(["cpu", "t4", "l4", "a100", "h100"], one.preset)])
    error_message = "schedules: preset must be cpu, t4, l4, a100 or h100."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : contains(["", "A", "B"], one.layout)])
    error_message = "schedules: layout must be A or B, or empty for the preset's own."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : one.workers >= 1 && one.workers <= 1000])
    error_message = "schedules: workers must be in 1 to 1000."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : !one.flexrs || one.preset == "cpu"])
    error_message = "schedules: FlexRS has no GPUs; flexrs goes with preset cpu."
  }

  validation {
    condition     = alltrue([for one in values(var.schedules) : contains(keys(one.parameters), "output")])
    error_message = "schedules: parameters must name the output."
  }

  validation {
    condition = alltrue(flatten([for one in values(var.schedules) : [
      for name, value in one.parameters : name == "crawl_id" || !can(regex("\\{(date|yesterday)\\}", value))
    ]]))
    error_message = "schedules: only crawl_id may be {date} or {yesterday}; write {crawl_id} in input, or make it a chain of one step, which fills in all."
  }
}

variable "chains" {
  type = map(object({
    schedule  = string
    time_zone = optional(string, "Etc/UTC")
    paused    = optional(bool, false)
    steps = list(object({
      job        = string
      preset     = optional(string, "cpu")
      layout     = optional(string, "")
      workers    = optional(number, 1)
      flexrs     = optional(bool, false)
      parameters = map(string)
    }))
  }))
  description = "Jobs that follow one another, each after the last has succeeded: name -> schedule and steps. {date} in a parameter is the day of the run in time_zone, {yesterday} the one before, as 2026-11-21."
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.chains) : can(regex("^[a-z][-a-z0-9]{0,30}[a-z0-9]$", name))])
    error_message = "chains: a name is of lower-case letters, digits and hyphens, at most 32."
  }

  validation {
    condition     = alltrue([for one in values(var.chains) : length(split(" ", trimspace(one.schedule))) == 5])
    error_message = "chains: schedule must be cron's five fields, for example 0 3 * * *."
  }

  validation {
    condition     = alltrue([for one in values(var.chains) : length(one.steps) > 0])
    error_message = "chains: steps must name at least one job."
  }

  validation {
    condition = alltrue(flatten([for one in values(var.chains) : [
      for step in one.steps : contains(["cpu", "t4", "l4", "a100", "h100"], step.preset) && contains(["", "A", "B"], step.layout)
    ]]))
    error_message = "chains: preset must be cpu, t4, l4, a100 or h100, and layout A, B or empty."
  }

  validation {
    condition = alltrue(flatten([for one in values(var.chains) : [
      for step in one.steps : step.workers >= 1 && step.workers <= 1000 && (!step.flexrs || step.preset == "cpu")
    ]]))
    error_message = "chains: workers must be in 1 to 1000, and flexrs goes with preset cpu."
  }
}

variable "alert_emails" {
  type        = set(string)
  description = "Who is told of failed jobs, many rejected samples and missing output; empty makes no alerts."
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alert_emails must be addresses."
  }
}

variable "max_reject_share" {
  type        = number
  description = "Share of a job's samples above which rejected samples are told, in (0, 1]; below the job's own limit."
  default     = 0.005

  validation {
    condition     = var.max_reject_share > 0 && var.max_reject_share <= 1
    error_message = "max_reject_share must be in (0, 1]."
  }
}

variable "no_output_hours" {
  type        = number
  description = "Hours without a written shard after which that is told, 2 to 48; 0 never tells. 36 is a day, six hours that FlexRS may wait, and six of work."
  default     = 36

  validation {
    condition     = (var.no_output_hours == 0 || var.no_output_hours >= 2) && var.no_output_hours <= 48 && floor(var.no_output_hours) == var.no_output_hours
    error_message = "no_output_hours must be 0 or a whole number from 2 to 48; an alert looks back a day and may wait for another."
  }
}

variable "budget" {
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  description = "Monthly amount for the project, of which 50, 90 and 100 % are told; null makes no budget."
  default     = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget: billing_account must be its id, for example 012345-6789AB-CDEF01."
  }

  validation {
    condition     = var.budget == null || try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, false)
    error_message = "budget: amount must be a whole number of at least 1, in units of the currency."
  }
}
